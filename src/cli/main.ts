#!/usr/bin/env node
import { enableCompileCache } from 'node:module'

// Before anything else is loaded: later starts find the compiled sources.
enableCompileCache()

const { run } = await import('./run.ts')
process.exitCode = await run(process.argv.slice(2))
