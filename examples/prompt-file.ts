/*
 * An agent whose instructions are a file next to it: text that can be read and reviewed like any other, with places for what
 * is known of each request.
 *
 *   npm start -- examples/prompt-file.ts
 *   curl -s http://127.0.0.1:8080/v1/agents/shop-desk/runs -H 'content-type: application/json' -d '{
 *     "input": "Where is my lamp?",
 *     "run_context": { "shop": { "name": "Lamps & Co" }, "customer": { "name": "Ann", "orders": ["A-17"] } }
 *   }'
 *
 * Without a provider it runs on the demo model, which does not read instructions.
 */
import { agent, readPrompt, template } from 'parleykit'

// #region agent
export default agent({
  name: 'shop-desk',
  instructions: template(readPrompt(new URL('./prompt-file.md', import.meta.url))),
})
// #endregion
