import gradio as gr

demo = gr.Interface(lambda name: f"Hello {name}", "text", "text", title="Hello from Gradio")

if __name__ == "__main__":
    demo.launch()
