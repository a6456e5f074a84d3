export default function Home() {
  return <p>Hello from node-solidstart</p>;
}
