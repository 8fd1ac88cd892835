/*
 * An agent with the tools of MCP servers:
 *
 *   npx parley serve examples/mcp-notes.ts
 */
import { join } from 'node:path'
import { agent, mcpTools } from 'parleykit'

// #region program
const notes = mcpTools({
  name: 'notes',
  command: process.execPath,
  args: [join(import.meta.dirname, 'notes-server.ts')],
  env: { NOTES_FILE: process.env['NOTES_FILE'] ?? 'notes.txt' },
  approval: (toolName) => toolName === 'add',
})
// #endregion

// #region http
const tracker = mcpTools({
  name: 'tracker',
  url: process.env['TRACKER_URL'] ?? 'https://tracker.example.com/mcp',
  headers: { authorization: `Bearer ${process.env['TRACKER_TOKEN'] ?? ''}` },
  tools: ['find_ticket', 'close_ticket'],
  effect: { close_ticket: 'idempotent' },
})
// #endregion

export default agent({
  name: 'secretary',
  instructions: 'You keep the notes of an office.',
  tools: process.env['TRACKER_URL'] ? [notes, tracker] : [notes],
})
