from django.db import migrations, models


def first_notes(apps, _editor):
    note = apps.get_model("notes", "Note")
    note.objects.bulk_create([note(body="Milk"), note(body="Water the tomatoes")])


class Migration(migrations.Migration):
    initial = True
    operations = [
        migrations.CreateModel("Note", [("id", models.BigAutoField(primary_key=True)), ("body", models.TextField())]),
        migrations.RunPython(first_notes, migrations.RunPython.noop),
    ]
