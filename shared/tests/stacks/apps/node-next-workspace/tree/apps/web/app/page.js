import { hello } from '@w/greeting';

export const dynamic = 'force-dynamic';

export default function Page() {
  return <p>{hello('node-next-workspace')}</p>;
}
