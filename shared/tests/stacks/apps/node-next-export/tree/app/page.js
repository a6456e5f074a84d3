export default function Page() {
  return <p>Hello from node-next-export</p>;
}
