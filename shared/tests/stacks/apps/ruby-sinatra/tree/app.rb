require "sinatra/base"

class App < Sinatra::Base
  get("/healthz") { "ok" }
end
