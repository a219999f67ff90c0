"""The control plane: tells Envoy what exists, and keeps an Envoy running where there is none.

It turns the contract (descriptor set), the table of services and the registry into Envoy's resources and serves them as one
aggregated delta stream (xDS). Promise: a listener, once pushed, never changes while the process lives, because a changed
listener cuts the streams on it; whatever changes travels as routes, clusters or endpoints. What Envoy refuses is logged with
Envoy's own words and leaves the traffic as it was.
"""
