"""What a run leaves behind: measures, text summary, folder, transcripts."""
