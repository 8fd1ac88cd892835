#!/usr/bin/env node
// The command in a checkout: the sources run as they are. A published package starts its compiled `cli/main.js` instead.
if (process.features.typescript) {
  await import('../src/cli/main.ts')
} else {
  process.stderr.write(
    `Parley needs Node 22.19 or later to run from its sources; this is ${process.version}.\n`,
  )
  process.exitCode = 1
}
