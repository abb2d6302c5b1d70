"""What a camera sends, and what we make of it: `ov2 doctor`.

Data flow: `observe` watches a source; `examine` decodes and tokenizes what came; one file per noun (`transport`, `video`, `pace`, `keys`,
`bits`, `clock`, `damage`, `signals`, `load`) makes facts of it; `advice` makes advice of facts; `report` puts both in one JSON object.
When a source cannot be opened, `ladder` climbs to it step by step and tells which rung breaks.
"""
