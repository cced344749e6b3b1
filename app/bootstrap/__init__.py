"""The composition root, by what a process needs: `queue` is light, `services` is everybody's, `asgi` is the web server."""
