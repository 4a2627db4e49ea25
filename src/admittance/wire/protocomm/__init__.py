"""The protobuf messages of Unified Provisioning; `messages` is the strict door to the generated modules."""
