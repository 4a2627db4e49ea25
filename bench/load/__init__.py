"""What the benches of servers share: servers as processes, and the load on them from processes of its own."""
