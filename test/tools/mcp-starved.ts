/*
 * Starts a program where no file descriptor is left, and once more where there are some again. Run by the tests as a program of
 * its own.
 */
import { closeSync, openSync } from 'node:fs'
import { ProgramTransport } from '../../src/tools/mcp/program-transport.ts'
import { loadSdk } from '../../src/tools/mcp/sdk.ts'

const sdk = await loadSdk()
const target = {
  kind: 'program',
  command: process.execPath,
  args: ['--version'],
  env: {},
  cwd: undefined,
} as const

async function start(): Promise<string> {
  const transport = new ProgramTransport({ sdk, target, onErrorLine: () => undefined })
  const closed = new Promise<void>((resolve) => (transport.onclose = resolve))
  try {
    await transport.start()
    await closed
    return 'started'
  } catch (error) {
    await transport.close()
    return error instanceof Error && 'code' in error ? String(error.code) : 'another error'
  }
}

const taken: number[] = []
try {
  for (;;) taken.push(openSync('/dev/null', 'r'))
} catch {
  // None is left: what this is about.
}
const starved = await start()
for (const descriptor of taken) closeSync(descriptor)
process.stdout.write(`${starved}, then ${await start()}\n`)
