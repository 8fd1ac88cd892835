#!/usr/bin/env node
import module from 'node:module'

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major > 22 || (major === 22 && minor >= 19)) {
  // Before anything else is loaded: later starts find the compiled sources.
  module.enableCompileCache()
  const { run } = await import('./run.ts')
  process.exitCode = await run(process.argv.slice(2))
} else {
  process.stderr.write(`Parley needs Node 22.19 or later; this is ${process.version}.\n`)
  process.exitCode = 1
}
