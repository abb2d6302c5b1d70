"""Assignment at the least cost (Kuhn 1955; shortest augmenting paths, Jonker and Volgenant 1987).

In: a matrix of costs [R, C]. Out: pairs (row, column), as many as the shorter side has, whose costs have the least sum.
"""

from __future__ import annotations

import numpy as np


def assigned(costs_RC: np.ndarray) -> list[tuple[int, int]]:
    """Pairs in order of rows. Costs are finite."""
    if costs_RC.shape[0] > costs_RC.shape[1]:
        return sorted((row, column) for column, row in assigned(costs_RC.T))
    num_rows, num_columns = costs_RC.shape
    row_price, column_price = np.zeros(num_rows), np.zeros(num_columns)
    row_of = np.full(num_columns, -1)
    for row in range(num_rows):
        _augment(costs_RC, row, row_price, column_price, row_of)
    return sorted((int(row_of[column]), column) for column in range(num_columns) if row_of[column] >= 0)


def _augment(costs_RC: np.ndarray, row: int, row_price: np.ndarray, column_price: np.ndarray, row_of: np.ndarray) -> None:
    """Give `row` a column, along the cheapest path that frees one. Prices change in place: no pair costs less than its two."""
    num_columns = costs_RC.shape[1]
    least, before = np.full(num_columns, np.inf), np.full(num_columns, -1)
    visited, current, column = np.zeros(num_columns, bool), row, -1
    rows_on_path = [row]
    while True:
        reduced = costs_RC[current] - row_price[current] - column_price
        better = ~visited & (reduced < least)
        least[better], before[better] = reduced[better], column
        open_columns = np.flatnonzero(~visited)
        column = int(open_columns[least[open_columns].argmin()])
        step = least[column]
        row_price[rows_on_path] += step
        column_price[visited] -= step
        least[~visited] -= step
        visited[column] = True
        if row_of[column] < 0:
            break
        current = int(row_of[column])
        rows_on_path.append(current)
    while column >= 0:
        previous = int(before[column])
        row_of[column] = row_of[previous] if previous >= 0 else row
        column = previous
