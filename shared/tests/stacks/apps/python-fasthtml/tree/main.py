from fasthtml.common import P, fast_app, serve

app, rt = fast_app(secret_key='only-for-this-test')


@rt("/")
def get():
    return P("Hello from FastHTML")


serve()
