"""The server that runs inside a sandbox: commands, files and edits over HTTP."""
