// Drives the UI as a user does: node drive.mjs AGENT_URL REPLICA_URL CHROMIUM PROFILE_DIR
// Prints one line a step; exits 1 with the reason at the first that fails, or at any console error.
import { chromium } from 'playwright-core';

const [agent, replica, executablePath, profile] = process.argv.slice(2);
const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  viewport: { width: 1200, height: 900 },
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync',
  ],
});
const complaints = [];
const page = context.pages()[0] ?? (await context.newPage());
page.setDefaultTimeout(20_000);
page.on('console', (message) => message.type() === 'error' && complaints.push(`console: ${message.text()}`));
page.on('pageerror', (error) => complaints.push(`page: ${error.message}`));

/** A graph with a line on its canvas: pixels that are neither background nor axis. */
async function graph(base) {
  await page.goto(`${base}/graph?g0.expr=${encodeURIComponent('scrape_number')}&g0.tab=0&g0.range_input=5m`);
  await page.waitForSelector('.graph canvas');
  await page.waitForSelector('.legend div:nth-child(3)');
  const coloured = await page.waitForFunction(() => {
    const canvas = document.querySelector('.graph canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let at = 0; at < data.length; at += 4) {
      const [r, g, b, a] = data.slice(at, at + 4);
      if (a > 100 && Math.max(r, g, b) - Math.min(r, g, b) > 60) count += 1;
    }
    return count > 100 ? count : false;
  });
  console.log(`graph at ${base}: ${await coloured.jsonValue()} coloured pixels`);
}

async function table(base) {
  await page.goto(`${base}/graph`);
  const editor = page.getByLabel('PromQL expression');
  await editor.click();
  await page.keyboard.type('count(scrape_number)');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Run' }).click();
  await page.locator('td.number', { hasText: /^3$/ }).waitFor();
  console.log(`table at ${base}`);
}

async function targets(base) {
  await page.goto(`${base}/targets`);
  await page.locator('td.state.up').first().waitFor();
  console.log('targets');
}

async function alert(base) {
  await page.goto(`${base}/alerts`);
  await page.locator('tr', { hasText: 'ShownAlert' }).filter({ has: page.locator('td.state.active') }).waitFor();
  await page.locator('tr', { hasText: 'count(scrape_number)' }).filter({ has: page.locator('td.state.firing') }).waitFor();
  console.log('alert');
}

async function silence(base) {
  await page.goto(`${base}/silences/new`);
  await page.locator('input[name=matchers]').fill('alertname="ShownAlert"');
  await page.locator('input[name=duration]').fill('1h');
  await page.locator('input[name=author]').fill('driver');
  await page.locator('textarea[name=comment]').fill('shown by the driver');
  await page.getByRole('button', { name: 'Preview' }).click();
  await page.getByText('1 alerts match now: ShownAlert').waitFor();
  await page.getByRole('button', { name: 'Create' }).click();
  const row = page.locator('tr[data-silence]', { hasText: 'shown by the driver' });
  await row.locator('td.state.active').waitFor();
  await row.getByRole('button', { name: 'Expire' }).click();
  await row.waitFor({ state: 'detached' });
  await page.getByLabel('expired too').check();
  await row.locator('td.state.expired').waitFor();
  console.log('silence made and expired');
}

async function cluster(base) {
  await page.goto(`${base}/cluster`);
  await page.locator('td.state.up', { hasText: 'reachable' }).nth(2).waitFor();
  await page.locator('td.state.up', { hasText: 'connected' }).first().waitFor();
  console.log('cluster');
}

let failed = '';
try {
  await graph(agent);
  await table(agent);
  await targets(agent);
  await graph(replica);
  await alert(replica);
  await silence(replica);
  await cluster(replica);
} catch (error) {
  failed = `${page.url()}: ${error.message}\n${(await page.locator('body').innerText().catch(() => '')).slice(0, 2000)}`;
}
await context.close();
if (failed || complaints.length) {
  console.error([failed, ...complaints].filter(Boolean).join('\n'));
  process.exit(1);
}
