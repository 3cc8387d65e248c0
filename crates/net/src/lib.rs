//! Addresses, nets, ports and protocols
