//! The codec of DNS messages, as far as an authoritative server needs it: one question and OPT in,
//! whole RRsets out (RFC 1035, section 4; RFC 6891). (To be written.)
