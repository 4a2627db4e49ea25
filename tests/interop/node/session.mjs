// What the drivers of both clients share: orders in, answers out, one JSON object a line.

import { createInterface } from 'node:readline';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

export const settings = JSON.parse(process.argv[2]);

/** Tell the test something. */
export function tell(what) {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

/** Wait for the test's next word. */
export async function hear() {
  const { value, done } = await lines.next();
  if (done) throw new Error('the test ended early');
  return JSON.parse(value);
}

/** Run the flow that the test named; its failure is told, and ends the process with 1. */
export async function play(flows) {
  try {
    await flows[settings.flow]();
    process.exit(0);
  } catch (error) {
    tell({ failed: error.error ?? error.code ?? error.name, detail: String(error.cause?.message ?? error.message) });
    process.exit(1);
  }
}
