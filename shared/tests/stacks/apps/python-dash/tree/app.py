from dash import Dash, html

app = Dash(__name__, title="Hello from Dash")
server = app.server
app.layout = html.P("Hello")

if __name__ == "__main__":
    app.run(debug=True)
