"""The HTTP API: OpenAI-compatible, many requests drawn side by side. Needs sonho[serve], never torch.

    options.py       every limit and default of the server
    served_model.py  a model that is ready to serve, and what the list of models says of it
    text_row.py      one text that is being drawn; batches.py: rows side by side, joining and leaving
    pace.py          how much to do at a time; engine.py: the one thread that runs the models
    completion.py    a prompt and its rows; errand.py: other work of the engine's
    logprobs.py      what OpenAI's `logprobs` hold
    schemas.py       requests; replies.py: replies and chunks; problems.py: errors; sampling.py: options
    streaming.py     server-sent events, and noticing that a client went away
    guard.py         hosts, origins, keys, rates, sizes; connection.py: deadlines of a connection
    *_routes.py      the addresses; app.py puts them together; server.py: sockets and signals

The event loop never touches a model, the engine's thread never touches a socket; they meet in `Engine`.
"""
