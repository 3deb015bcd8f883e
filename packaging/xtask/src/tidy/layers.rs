//! Who may know what: the SDK, the wire and the kernel's files each have one place.

use super::{TextFile, none, rust_files};

/// A word and the only folders, or files, whose code may contain it.
struct Layer {
    word: &'static str,
    allowed: &'static [&'static str],
    why: &'static str,
}

const LAYERS: &[Layer] = &[
    Layer {
        word: "aws_sdk_ec2",
        allowed: &["agentd/src/aws/", "agentd/src/aws.rs"],
        why: "only aws/ knows the SDK",
    },
    Layer { word: "aws_sdk_sns", allowed: &["agentd/src/aws/"], why: "only aws/ knows the SDK" },
    Layer {
        word: "nvml_wrapper",
        allowed: &["agentd/src/sources/gpu", "agentd/src/host/"],
        why: "only the source of the GPU knows NVML",
    },
    Layer {
        word: "agent_proto",
        allowed: &[
            "agentd/src/ipc",
            "agentd/src/publish",
            "agentd/src/main.rs",
            "agentd/src/run",
            "agentd/src/cli",
        ],
        why: "only ipc/ and publish/ know wire types",
    },
    Layer {
        word: "engine::Engine",
        allowed: &["agentd/src/run", "agentd/src/shell"],
        why: "one task owns the engine",
    },
];

/// The code of a file without its comments and tests.
fn code(file: &TextFile) -> impl Iterator<Item = (usize, &str)> {
    let lines = file.text.lines().enumerate();
    lines
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(number, line)| (number + 1, line))
}

fn daemon() -> Vec<TextFile> {
    let files = rust_files().into_iter();
    files
        .filter(|file| file.path.starts_with("agentd/src/") && !file.path.ends_with("/tests.rs"))
        .collect()
}

#[test]
fn each_outside_thing_has_one_place() {
    let mut faults = Vec::new();
    for layer in LAYERS {
        for file in daemon()
            .iter()
            .filter(|file| !layer.allowed.iter().any(|place| file.path.starts_with(place)))
        {
            for (number, line) in code(file).filter(|(_, line)| line.contains(layer.word)) {
                faults.push(format!("{}:{number}: {} ({})", file.path, line.trim(), layer.why));
            }
        }
    }
    none("code in the wrong place", &faults);
}

#[test]
fn only_the_host_folder_opens_the_kernels_files() {
    let faults = daemon()
        .iter()
        .filter(|file| !file.path.starts_with("agentd/src/host"))
        .flat_map(|file| {
            code(file).map(move |(number, line)| (file.path.clone(), number, line.to_owned()))
        })
        .filter(|(_, _, line)| {
            [
                "File::open(\"/proc",
                "File::open(\"/sys",
                "read_to_string(\"/proc",
                "read_to_string(\"/sys",
            ]
            .iter()
            .any(|opening| line.contains(opening))
        })
        .map(|(path, number, line)| format!("{path}:{number}: {}", line.trim()))
        .collect::<Vec<_>>();
    none("files of the kernel opened outside host/", &faults);
}

#[test]
fn comments_and_tests_are_not_code() {
    let file = TextFile {
        path: "x.rs".to_owned(),
        text: "// a comment\nlet a = 1;\n/// doc\n#[cfg(test)]\nmod tests {}\n".to_owned(),
    };
    assert_eq!(code(&file).collect::<Vec<_>>(), [(2, "let a = 1;")]);
}
