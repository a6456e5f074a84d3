defmodule Shop.Release do
  def migrate do
    :ok
  end
end
