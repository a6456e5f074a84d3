//! Which commands start a development server. Such a command is never what an image of ours runs.

use super::source::SourceTree;

/// Words in order; a command that begins with them is a development server.
const COMMANDS: &[&[&str]] = &[
    &["docusaurus", "start"],
    &["docusaurus-start"],
    &["eleventy", "--serve"],
    &["eleventy", "--watch"],
    &["astro", "dev"],
    &["astro", "preview"],
    &["gatsby", "develop"],
    &["gatsby", "serve"],
    &["next", "dev"],
    &["nuxt", "dev"],
    &["nuxt", "preview"],
    &["vitepress", "dev"],
    &["vitepress", "serve"],
    &["vuepress", "dev"],
    &["vuepress", "serve"],
    &["nitro", "dev"],
    &["nitropack", "dev"],
    &["snowpack", "dev"],
    &["preact", "watch"],
    &["umi", "dev"],
    &["gridsome", "develop"],
    &["sapper", "dev"],
    &["remix", "vite:dev"],
    &["vinxi", "dev"],
    &["sanity", "start"],
    &["sanity", "dev"],
    &["rspack", "serve"],
    &["rspack", "dev"],
    &["craco", "start"],
    &["react-app-rewired", "start"],
    &["ionic", "serve"],
    &["wrangler", "dev"],
    &["netlify", "dev"],
    &["vercel", "dev"],
    &["react-scripts", "start"],
    &["ng", "serve"],
    &["vue-cli-service", "serve"],
    &["webpack", "serve"],
    &["webpack-dev-server"],
    &["rsbuild", "dev"],
    &["ember", "serve"],
    &["hexo", "server"],
    &["remix", "dev"],
    &["react-router", "dev"],
    &["svelte-kit", "dev"],
    &["expo", "start"],
    &["storybook", "dev"],
    &["nest", "start"],
    &["nx", "serve"],
    &["nx", "dev"],
    &["nx", "run-many"],
    &["turbo", "run", "dev"],
    &["moon", "run"],
    &["lerna", "run", "dev"],
    &["turbo", "dev"],
    &["nodemon"],
    &["ts-node"],
    &["ts-node-dev"],
    &["tsx", "watch"],
    &["node", "--watch"],
    &["node-dev"],
    &["supervisor"],
    &["bun", "--watch"],
    &["bun", "--hot"],
    &["bun", "run", "--hot"],
    &["bun", "run", "--watch"],
    &["deno", "run", "--watch"],
    &["json-server"],
    &["live-server"],
    &["browser-sync"],
    &["flask", "run"],
    &["fastapi", "dev"],
    &["hugo", "server"],
    &["mkdocs", "serve"],
    &["zola", "serve"],
    &["jekyll", "serve"],
    &["cargo", "watch"],
    &["cargo", "run"],
    &["go", "run"],
    &["trunk", "serve"],
    &["mix", "phx.server"],
    &["dotnet", "watch"],
    &["flutter", "run"],
    &["mdbook", "serve"],
    &["sphinx-autobuild"],
    &["air"],
    &["php", "-S"],
];

/// Words that only make another command start.
const WRAPPERS: &[&str] =
    &["npx", "bunx", "exec", "cross-env", "dotenv", "python", "python3", "-m", "sh", "bash", "-c"];

/// Whether the command starts a development server; follows `npm run x` into the scripts of package.json.
pub fn is_dev_server(command: &str, tree: &SourceTree) -> bool {
    judge(command, tree, 0)
}

fn judge(command: &str, tree: &SourceTree, depth: usize) -> bool {
    command.split(['&', ';', '|']).any(|part| {
        let words: Vec<&str> = part.split_whitespace().skip_while(|word| is_wrapper(word)).collect();
        is_listed(&words) || depth < 4 && script(&words, tree).is_some_and(|text| judge(&text, tree, depth + 1))
    })
}

fn is_wrapper(word: &str) -> bool {
    WRAPPERS.contains(&word) || word.contains('=') && !word.starts_with('-')
}

fn is_listed(words: &[&str]) -> bool {
    let bare_vite = words.first() == Some(&"vite") && words.get(1) != Some(&"build");
    let parcel = words.first() == Some(&"parcel") && words.get(1) != Some(&"build");
    let runserver = words.contains(&"runserver") && words.iter().any(|word| word.ends_with("manage.py"));
    let artisan = words.first() == Some(&"php") && words.contains(&"serve");
    let rails = ["rails", "bin/rails"].contains(words.first().unwrap_or(&"")) && words.contains(&"development");
    let watches = ["webpack", "rollup", "tsc", "esbuild", "postcss", "sass", "tailwindcss", "stencil"]
        .contains(words.first().unwrap_or(&""))
        && words.iter().any(|word| ["--watch", "-w", "--serve", "--dev", "--watch=forever"].contains(word));
    let reload =
        words.contains(&"--reload") && words.iter().any(|word| ["uvicorn", "gunicorn", "hypercorn"].contains(word));
    bare_vite
        || parcel
        || runserver
        || reload
        || artisan
        || rails
        || watches
        || COMMANDS.iter().any(|command| words.starts_with(command))
}

/// The script that `npm run x`, `npm start`, `yarn x` and the like mean.
fn script(words: &[&str], tree: &SourceTree) -> Option<String> {
    let (manager, rest) = words.split_first()?;
    let name = match (*manager, rest.first().copied()?) {
        ("npm" | "yarn" | "pnpm" | "bun", "run") => rest.get(1).copied()?,
        ("npm" | "pnpm", "start") | ("yarn", _) => rest.first().copied()?,
        _ => return None,
    };
    let package: serde_json::Value = serde_json::from_str(&tree.text("package.json")?).ok()?;
    Some(package.get("scripts")?.get(name)?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        let tree = SourceTree::in_memory([(
            "package.json",
            r#"{"scripts":{"start":"docusaurus start --host 0.0.0.0","prod":"node server.js","loop":"npm run loop"}}"#,
        )]);
        for bad in [
            "vite",
            "vite preview",
            "npx vite --host",
            "NODE_ENV=x nodemon a.js",
            "yarn start",
            "npm run start",
            "python manage.py runserver 0:80",
            "a && next dev",
            "uvicorn a:b --reload",
            "flask run",
            "python -m flask run",
        ] {
            assert!(is_dev_server(bad, &tree), "{bad}");
        }
        for good in [
            "",
            "vite build",
            "node server.js",
            "npm run prod",
            "npm run loop",
            "gunicorn a:b",
            "next start",
            "npm run absent",
        ] {
            assert!(!is_dev_server(good, &tree), "{good}");
        }
    }
}
