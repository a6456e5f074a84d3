defmodule Shop.MixProject do
  use Mix.Project

  def project do
    [app: :shop, version: "0.1.0", elixir: "~> 1.15", aliases: aliases(), deps: deps()]
  end

  def application, do: [mod: {Shop.Application, []}]

  defp deps, do: [{:phoenix, "~> 1.8"}, {:ecto_sql, "~> 3.13"}, {:postgrex, ">= 0.0.0"}, {:bandit, "~> 1.5"}]

  defp aliases, do: ["assets.deploy": ["tailwind shop --minify", "esbuild shop --minify", "phx.digest"]]
end
