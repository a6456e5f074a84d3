//! Talking to a server over SSH with a host key known beforehand.
