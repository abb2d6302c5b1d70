"""One attack each: `async def strike(scene, count)` makes about `count` cases of it against the scene's target, and cleans up behind itself."""
