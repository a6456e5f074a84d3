export default function Home() {
  return <p>Hello from node-react-router</p>;
}
