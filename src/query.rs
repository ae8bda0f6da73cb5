//! A packet from outside, read into a checked question. (To be written.)
