defmodule Tick do
  use Task

  def start_link(_), do: Task.start_link(&run/0)

  defp run do
    IO.puts("Hello from elixir-worker")
    Process.sleep(1000)
    run()
  end
end
