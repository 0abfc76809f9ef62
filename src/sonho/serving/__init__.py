"""The HTTP API: OpenAI-compatible, many requests drawn side by side. Needs sonho[serve], never torch.

    options.py       every limit and default of the server
    served_model.py  a model that is ready to serve, and what the list of models says of it
    engine.py        the one thread that runs the models; lane.py: the texts of one; pace.py: how much at a time
    text_row.py      one text that is being drawn; batches.py: rows side by side, joining and leaving
    completion.py    a prompt and its rows; errand.py: other work; handle.py: the way back to the event loop
    logprobs.py      what OpenAI's `logprobs` hold; inspecting.py: distributions, scores, units; sessions.py
    schemas.py       requests; plan.py, sampling.py: requests to work; replies.py; problems.py: errors
    streaming.py     server-sent events, and noticing that a client went away; context.py: what routes share
    guard.py         hosts, origins, keys, rates, sizes; connection.py: deadlines of a connection
    *_routes.py      the addresses; app.py puts them together; server.py: sockets and signals

The event loop never touches a model, the engine's thread never touches a socket; they meet in `Engine`.
"""
