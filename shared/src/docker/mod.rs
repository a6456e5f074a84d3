//! Talking to a Docker Engine.
