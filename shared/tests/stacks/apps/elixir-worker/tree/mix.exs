defmodule Tick.MixProject do
  use Mix.Project

  def project do
    [app: :tick, version: "0.1.0", elixir: "~> 1.18", deps: []]
  end

  def application, do: [mod: {Tick.Application, []}]
end
