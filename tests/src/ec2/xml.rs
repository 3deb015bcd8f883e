//! XML as the query API writes it: no attributes but the name space, lists as `item`.

use std::fmt::Write;

/// The name space of the API version.
const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";

/// A tree of elements.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// An element with text.
    Text(&'static str, String),
    /// An element with children.
    Tree(&'static str, Vec<Node>),
}

/// An element with text.
pub(super) fn text(name: &'static str, value: impl Into<String>) -> Node {
    Node::Text(name, value.into())
}

/// An element with children.
pub(super) fn tree(name: &'static str, children: Vec<Node>) -> Node {
    Node::Tree(name, children)
}

/// The document of a reply.
pub(super) fn document(action: &str, request_id: &str, children: &[Node]) -> String {
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{action}Response xmlns=\"{NAMESPACE}\"><requestId>{request_id}</requestId>"
    );
    for child in children {
        write_node(&mut out, child);
    }
    let _infallible = write!(out, "</{action}Response>");
    out
}

/// A document of the services that name the results of their actions.
pub(super) fn result(action: &str, namespace: &str, children: &[Node], request_id: &str) -> String {
    let mut inner = format!("<{action}Result>");
    for child in children {
        write_node(&mut inner, child);
    }
    format!(
        "<{action}Response xmlns=\"{namespace}\">{inner}</{action}Result><ResponseMetadata><RequestId>{request_id}\
         </RequestId></ResponseMetadata></{action}Response>"
    )
}

/// A document with this element at its root.
pub(super) fn root(name: &str, namespace: &str, children: &[Node]) -> String {
    let mut out = format!("<{name} xmlns=\"{namespace}\">");
    for child in children {
        write_node(&mut out, child);
    }
    out + &format!("</{name}>")
}

/// The document of a refusal.
pub(super) fn refusal(code: &str, message: &str, request_id: &str) -> String {
    let (code, message) = (escaped(code), escaped(message));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code><Message>{message}\
         </Message></Error></Errors><RequestID>{request_id}</RequestID></Response>"
    )
}

fn write_node(out: &mut String, node: &Node) {
    let _infallible = match node {
        Node::Text(name, value) => write!(out, "<{name}>{}</{name}>", escaped(value)),
        Node::Tree(name, children) => {
            let _infallible = write!(out, "<{name}>");
            for child in children {
                write_node(out, child);
            }
            write!(out, "</{name}>")
        }
    };
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_written_with_escapes() {
        let tree = [tree("set", vec![tree("item", vec![text("key", "a<b>&\"c\"")])])];
        let out = document("CreateTags", "r-1", &tree);
        assert!(out.contains("<set><item><key>a&lt;b&gt;&amp;&quot;c&quot;</key></item></set>"));
        assert!(out.ends_with("</CreateTagsResponse>"));
    }
}
