//! Version files of the app itself, and `byop.toml`, by which a repository says what the engine would have to guess.

use super::{Hints, VersionHint, add};
use crate::generate::{
    look::{json, toml},
    source::SourceTree,
};

/// Files whose whole content is a version: the file, the language.
const PLAIN: &[(&str, &str)] = &[
    (".nvmrc", "node"),
    (".node-version", "node"),
    (".python-version", "python"),
    (".ruby-version", "ruby"),
    (".java-version", "java"),
    (".bun-version", "bun"),
    (".dvmrc", "deno"),
    (".elixir-version", "elixir"),
    (".php-version", "php"),
];

pub fn read(tree: &SourceTree, hints: &mut Hints) {
    byop(tree, hints);
    for (path, language) in PLAIN {
        // Comments are lines of their own; some tools list several versions, the first one counts.
        let text = tree.text(path).unwrap_or_default();
        let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        version(hints, language, line, path);
    }
    heroku(tree, hints);
    asdf(tree, hints);
    mise(tree, hints);
    sdkman(tree, hints);
    if let Some(global) = json(tree, "global.json") {
        version(hints, "dotnet", global.pointer("/sdk/version").and_then(|v| v.as_str()), "global.json");
    }
    let fvm = [(".fvmrc", "/flutter"), (".fvm/fvm_config.json", "/flutterSdkVersion")];
    for (path, pointer) in fvm {
        let config = json(tree, path);
        version(hints, "flutter", config.as_ref().and_then(|c| c.pointer(pointer)?.as_str()), path);
    }
}

fn version(hints: &mut Hints, language: &str, text: Option<&str>, from: &str) {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty() && text.len() <= 200) else { return };
    let language = match language {
        "nodejs" => "node",
        "golang" => "go",
        "erlang/elixir" => "elixir",
        other => other,
    };
    let text = text.strip_prefix(&format!("{language}-")).unwrap_or(text);
    hints.versions.push(VersionHint {
        language: language.to_owned(),
        text: text.to_owned(),
        from: from.to_owned(),
        binding: true,
    });
}

/// `runtime.txt` (`python-3.12.1`) and `system.properties` (`java.runtime.version=17`).
fn heroku(tree: &SourceTree, hints: &mut Hints) {
    let runtime = tree.text("runtime.txt").unwrap_or_default();
    if let Some((language, text)) = runtime.trim().split_once('-') {
        version(hints, language, Some(text), "runtime.txt");
    }
    let properties = tree.text("system.properties").unwrap_or_default();
    let java = properties.lines().find_map(|line| line.trim().strip_prefix("java.runtime.version"));
    version(hints, "java", java.map(|rest| rest.trim_start_matches([' ', '=', ':'])), "system.properties");
}

/// `.tool-versions`: a tool and its versions on each line.
fn asdf(tree: &SourceTree, hints: &mut Hints) {
    let text = tree.text(".tool-versions").unwrap_or_default();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        if let (Some(tool), Some(text)) = (words.next(), words.next()) {
            // Builds of a vendor: `temurin-21.0.1`, and of an OTP release: `1.18.1-otp-27`.
            let text = if tool == "java" { text.rsplit('-').next().unwrap_or(text) } else { text };
            let text = text.split("-otp-").next().unwrap_or(text);
            version(hints, tool, Some(text), ".tool-versions");
        }
    }
}

fn mise(tree: &SourceTree, hints: &mut Hints) {
    for path in ["mise.toml", ".mise.toml", ".config/mise.toml"] {
        let config = toml(tree, path);
        let tools = config.as_ref().and_then(|config| config.get("tools")?.as_table());
        for (tool, value) in tools.into_iter().flatten() {
            let text = value.as_str().or_else(|| value.get("version")?.as_str());
            version(hints, tool, text, path);
        }
    }
}

fn sdkman(tree: &SourceTree, hints: &mut Hints) {
    let text = tree.text(".sdkmanrc").unwrap_or_default();
    let java = text.lines().find_map(|line| line.trim().strip_prefix("java="));
    version(hints, "java", java.map(|text| text.split('-').next().unwrap_or(text)), ".sdkmanrc");
}

/// `byop.toml` counts more than everything that is guessed:
/// `start`, `release`, `build`, `output`, `port`, `health_path`, `reproducible`, and `[versions]`.
fn byop(tree: &SourceTree, hints: &mut Hints) {
    const PATH: &str = "byop.toml";
    let Some(config) = toml(tree, PATH) else { return };
    let text = |key: &str| config.get(key).and_then(|value| value.as_str());
    add(&mut hints.web, text("start"), PATH);
    add(&mut hints.release, text("release"), PATH);
    add(&mut hints.build, text("build"), PATH);
    add(&mut hints.output, text("output"), PATH);
    add(&mut hints.health_path, text("health_path"), PATH);
    let port = config.get("port").and_then(|value| value.as_integer()).map(|port| port.to_string());
    add(&mut hints.port, port.as_deref(), PATH);
    hints.reproducible = config.get("reproducible").and_then(|value| value.as_bool()).unwrap_or_default();
    let versions = config.get("versions").and_then(|value| value.as_table());
    for (language, value) in versions.into_iter().flatten() {
        version(hints, language, value.as_str(), PATH);
    }
}
