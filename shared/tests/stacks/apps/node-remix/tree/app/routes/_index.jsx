export default function Home() {
  return <p>Hello from node-remix</p>;
}
