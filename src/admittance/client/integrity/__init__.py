"""The app's side of app integrity: answers for its own files, and keeps the attestation fresh."""
