"""Draw synthetic faces, lay them out as DISFA, and render them to video files."""
