//! From a source tree to a Dockerfile, and from a release to a compose file. Pure.
