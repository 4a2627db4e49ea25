"""The messages of Unified Provisioning, in protobuf. Tests compare them with what generated modules write."""
