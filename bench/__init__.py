"""Load for a Stonechat server, and what it costs: an open-loop generator of lean processes, modes that each answer one question
(how many messages a second, how large a group, how much memory a stream, how long until all are back), CPU and memory of every
process of the server, plots and a report. `README.md` beside this file says how to read the figures."""
