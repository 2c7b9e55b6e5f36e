"""The public Nomad HTTP API: same paths, bodies, headers and error texts as Nomad's own.

`app.make_nomad_app` composes it. A handler takes a `call.Call` and returns what is answered; a module per resource.
"""
