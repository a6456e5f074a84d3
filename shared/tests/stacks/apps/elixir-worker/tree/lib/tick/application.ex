defmodule Tick.Application do
  use Application

  def start(_, _), do: Supervisor.start_link([Tick], strategy: :one_for_one)
end
