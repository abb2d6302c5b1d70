"""A real service that is attacked: what `ov2 bench attack` is made of.

The service is `ov2 serve` on loopback, with generated cameras: first with tokens, then on damaged data, then without tokens. `attackers`
hold one attack each; between them honest questions are asked. A probe in a process of its own asks /healthz, a watcher weighs the service.
Everything is drawn from one seed.
"""
