"""Between the model and Envoy's messages: resources are built here, discovery requests and responses translated.

The messages are those of envoy_data_plane (betterproto2), which are slow to build and to encode: each resource is made once
per change and kept as bytes.
"""
