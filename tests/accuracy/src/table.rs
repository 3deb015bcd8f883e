//! The comparison as Markdown.
