require "socket"

server = TCPServer.new("0.0.0.0", Integer(ENV.fetch("PORT", 3000)))
loop do
  Thread.new(server.accept) do |client|
    path = client.gets.to_s.split[1]
    status, text = path == "/" ? ["200 OK", "Hello from ruby-plain\n"] : ["404 Not Found", "Not here\n"]
    client.write("HTTP/1.0 #{status}\r\nContent-Type: text/plain\r\nContent-Length: #{text.bytesize}\r\n\r\n#{text}")
    client.close
  end
end
