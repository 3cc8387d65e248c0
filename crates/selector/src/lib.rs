//! The label selector language
