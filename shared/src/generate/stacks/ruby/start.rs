//! How a Ruby app starts: another platform's line, else the server among its gems.
//!
//! Invariant: whatever is started listens on every address and is no server for development.

use super::bundle::Bundle;
use crate::{
    domain::Port,
    generate::{command, dev_server::is_dev_server, hints::Hint, look::Look, source::SourceTree},
};

/// Programs of gems, which Bundler has to find.
const OF_GEMS: &[&str] = &[
    "puma",
    "rails",
    "rake",
    "rackup",
    "thin",
    "unicorn",
    "falcon",
    "iodine",
    "sidekiq",
    "resque",
    "good_job",
    "solid_queue",
    "jekyll",
    "hanami",
];
const DEVELOPMENT: &[&str] = &["bin/dev", "foreman", "rerun", "shotgun", "guard", "overmind", "hivemind"];
const SCRIPTS: &[&str] = &["app.rb", "main.rb", "server.rb", "web.rb"];

/// A way to start and where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    pub argv: Vec<String>,
    pub place: String,
}

/// A line of another file, when its program is there.
pub fn hinted(look: &Look<'_>, hints: &[Hint], port: Option<Port>) -> Option<Start> {
    let hint = hints.iter().find(|hint| is_ruby(&look.here, &hint.text))?;
    let mut argv = command::argv(&hint.text, port);
    if argv.first().is_some_and(|first| OF_GEMS.contains(&first.as_str())) {
        argv.splice(0..0, ["bundle", "exec"].map(str::to_owned));
    }
    Some(Start { argv, place: hint.from.clone() })
}

fn is_ruby(tree: &SourceTree, line: &str) -> bool {
    let mut words = line.split_whitespace().skip_while(|word| command::is_assignment(word));
    let first = words.next().unwrap_or_default();
    let program = if first == "bundle" { words.nth(1).unwrap_or_default() } else { first };
    let development = DEVELOPMENT.contains(&program) || is_dev_server(line.trim_start_matches("bundle exec "), tree);
    let script = first.starts_with("bin/") || first.starts_with("./");
    let there = script && tree.has(first.trim_start_matches("./"));
    let known = first == "bundle" || first == "ruby" || OF_GEMS.contains(&first) || there && tree.has("Gemfile");
    known && !development
}

/// The server of a Rack app; the file of its settings knows more than we do.
pub fn server(tree: &SourceTree, bundle: &Bundle, port: Port) -> Option<Start> {
    let bind = format!("0.0.0.0:{port}");
    let number = port.to_string();
    let settings = ["config/puma.rb", "puma.rb"].iter().find(|path| tree.has(path));
    let words: Vec<&str> = match settings {
        Some(path) if bundle.has("puma") => vec!["puma", "-C", path],
        _ if bundle.has("puma") => return Some(of("gem puma", &["puma", "-b", &format!("tcp://{bind}")])),
        _ if bundle.has("falcon") => {
            return Some(of("gem falcon", &["falcon", "serve", "--bind", &format!("http://{bind}")]));
        }
        _ if bundle.has("unicorn") && tree.has("config/unicorn.rb") => vec!["unicorn", "-c", "config/unicorn.rb"],
        _ if bundle.has("unicorn") => vec!["unicorn", "-l", &bind],
        _ if bundle.has("iodine") => vec!["iodine", "-b", "0.0.0.0", "-p", &number],
        _ if bundle.has("thin") => vec!["thin", "start", "-a", "0.0.0.0", "-p", &number],
        _ if bundle.has("webrick") && bundle.has("rackup") => {
            vec!["rackup", "--env", "production", "--host", "0.0.0.0", "--port", &number]
        }
        _ => return None,
    };
    let gem = words.first().copied().unwrap_or_default();
    Some(of(&format!("gem {gem}"), &words))
}

fn of(place: &str, words: &[&str]) -> Start {
    let argv = ["bundle", "exec"].iter().chain(words).map(|word| (*word).to_owned()).collect();
    Start { argv, place: place.to_owned() }
}

/// A file that starts Sinatra's own server when it is run.
pub fn script(tree: &SourceTree, port: Port) -> Option<Start> {
    let starts = |path: &&&str| {
        let text = tree.text(path).unwrap_or_default();
        ["require 'sinatra'", "require \"sinatra\"", "run!"].iter().any(|word| text.contains(word))
    };
    let path = SCRIPTS.iter().find(starts)?;
    Some(of(path, &["ruby", path, "-o", "0.0.0.0", "-p", &port.to_string()]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::RelPath, generate::recipe::Wishes};

    const PORT: Port = Port::saturating(3000);

    fn line(text: &str) -> String {
        let tree = SourceTree::in_memory([("Gemfile", ""), ("bin/rails", "")]);
        let wishes = Wishes::default();
        let look = Look::new(&tree, &RelPath::root(), &wishes);
        hinted(&look, &[Hint::new(text, "Procfile:1")], Some(PORT))
            .map_or_else(|| "-".into(), |start| start.argv.join(" "))
    }

    fn by_gems(gems: &str, file: &str) -> String {
        let gemfile: String = gems.split_whitespace().map(|gem| format!("gem '{gem}'\n")).collect();
        let tree = SourceTree::in_memory([("Gemfile", gemfile.as_str()), (file, "require 'sinatra'")]);
        let bundle = Bundle::read(&tree).expect("Gemfile");
        server(&tree, &bundle, PORT)
            .or_else(|| script(&tree, PORT))
            .map_or_else(|| "-".into(), |start| start.argv.join(" "))
    }

    #[test]
    fn lines() {
        assert_eq!(line("bundle exec puma -C config/puma.rb"), "bundle exec puma -C config/puma.rb");
        assert_eq!(line("rails server -p $PORT"), "bundle exec rails server -p 3000");
        assert_eq!(line("bin/rails server -p ${PORT:-5000}"), "bin/rails server -p 3000");
        for none in ["bin/dev", "bin/absent", "npm start", "foreman start", "bundle exec jekyll serve", ""] {
            assert_eq!(line(none), "-", "{none}");
        }
    }

    #[test]
    fn servers() {
        assert_eq!(by_gems("puma rails", "config/puma.rb"), "bundle exec puma -C config/puma.rb");
        assert_eq!(by_gems("puma", "config.ru"), "bundle exec puma -b tcp://0.0.0.0:3000");
        assert_eq!(
            by_gems("webrick rackup", "config.ru"),
            "bundle exec rackup --env production --host 0.0.0.0 --port 3000"
        );
        assert_eq!(by_gems("sinatra", "app.rb"), "bundle exec ruby app.rb -o 0.0.0.0 -p 3000");
        assert_eq!(by_gems("rack", "config.ru"), "-");
    }
}
