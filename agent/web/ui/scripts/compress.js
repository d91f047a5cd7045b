// Writes a .gz beside every text file of dist/ and fails when the whole is over its budget.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const budget = 250_000;
const dist = new URL('../dist/', import.meta.url).pathname;
let total = 0;
for (const entry of readdirSync(dist, { recursive: true })) {
  const path = join(dist, entry);
  if (!statSync(path).isFile() || path.endsWith('.gz')) continue;
  const packed = gzipSync(readFileSync(path), { level: 9 });
  if (/\.(js|css|html|svg)$/.test(path)) writeFileSync(`${path}.gz`, packed);
  total += packed.length;
}
console.log(`UI: ${total} bytes gzip, at most ${budget}`);
if (total > budget) process.exit(1);
